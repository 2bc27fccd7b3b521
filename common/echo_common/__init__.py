"""What preparation and training share: the store, geometry, errors and command-line habits.

Imported by `echo_prep` and `echo_train`; imports neither of them, nor torch.
"""
