"""Reading videos by their content: containers, JPEG images, and decoding frame by frame."""
