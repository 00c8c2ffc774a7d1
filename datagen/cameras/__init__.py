"""Where cameras stand and what lens they have."""
