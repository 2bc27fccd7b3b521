"""The store format echo-store/1: names, manifests, both containers, and the checked reader."""
