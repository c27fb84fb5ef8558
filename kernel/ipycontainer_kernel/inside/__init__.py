"""What runs in a kernel's container: Python 3.9 and later, with the standard library alone.

`facts.py` is run by whatever `python3` an image has, to say what it is. Nothing here is imported
from the package: the folder is mounted, or a file's text is sent.
"""
