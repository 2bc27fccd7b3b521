"""The words both sides share: errors, settings, geometry, and the store's reader.

Imported by `echo_prep` and `echo_train`; imports neither of them, nor torch.
"""
