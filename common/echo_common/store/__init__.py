"""The store's format, echo-store/1: names, manifests, containers and the checked reader."""
