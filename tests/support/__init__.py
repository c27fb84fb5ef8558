"""What the tests stand on: real engines, a real registry, real images, and what each needs."""
