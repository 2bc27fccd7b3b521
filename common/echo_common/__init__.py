"""Code that preparation and training share: stores, geometry, videos, commands and errors.

`echo_prep` and `echo_train` import it; it imports neither of them, nor torch.
"""
