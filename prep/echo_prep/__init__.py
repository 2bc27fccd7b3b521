"""Preparation: from an archive of echocardiograms to a store of frames, masks and landmarks."""
