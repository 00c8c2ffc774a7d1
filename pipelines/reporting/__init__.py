"""`enr report`: runs and their evaluations as one self-contained HTML page."""
