"""What `run --explain`, `explain` and `layers` show: what was done, and what an image is made of.

`timeline` and `layerlist` are the values; `facts` says in words what the engine tells, `scale`
lays steps out in time, `figure` draws them. Nothing here is imported before a verb needs it.
"""
