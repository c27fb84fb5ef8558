"""What the kernel of this machine offers, and how to ask for it."""
