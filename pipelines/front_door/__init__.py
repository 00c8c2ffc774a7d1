"""The Python calls of `import enr`: the commands as functions, by the same configuration and with the same errors."""
