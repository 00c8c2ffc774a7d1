"""One module a command: its options here, its work imported inside, so that `enr --help` stays light."""
