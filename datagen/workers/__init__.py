"""Processes that render, and what they leave behind."""
