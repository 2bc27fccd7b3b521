"""One synthetic study: its anatomy, its motion, its tissue and the scanner that images it."""
