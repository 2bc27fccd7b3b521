"""Existing stores: writing finished arrays into them, checking, converting and describing them."""
