"""`enr reproduce`: the experiments of `experiments/`, planned, done step by step, and put into tables."""
