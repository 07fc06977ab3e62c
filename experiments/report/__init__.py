"""The report page of a set of workdirs; `python -m experiments.report`."""
