"""What is on disk: blobs, image names, unpacked layers, container records."""
