"""Which of a store's targets a run uses."""

from __future__ import annotations

from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice
from echo_train.data.settings import SelectionSettings


def choose(store: EchoStore, settings: SelectionSettings) -> Choice:
    """Settle which method, identity and falloff a run uses.

    What the settings leave open is what the store holds; where it holds
    several, the first in the order of `echo_common.store.schema`.

    Raises
    ------
    NotInStoreError
        If the store lacks it; the message is the build that adds it.
    """
    if settings.target == "mask":
        methods = [name for name in store.methods() if settings.method in (None, name)]
        if not methods:
            store.require_mask(settings.method or schema.METHODS[0])
        return Choice(method=methods[0])
    sets = [
        one
        for one in store.landmark_sets()
        if one.count == settings.landmarks
        and settings.method in (None, one.method)
        and settings.identity in (None, one.identity)
        and one.method in store.methods()
    ]
    falloffs = [
        (one, falloff)
        for one in sets
        for falloff in store.falloffs(one)
        if settings.falloff in (None, falloff)
    ]
    if not falloffs:
        # None that would do: the message asks for the one that the settings and defaults name.
        method = settings.method or next(iter(store.methods()), schema.METHODS[0])
        landmarks = schema.LandmarkSet(
            method=method,
            identity=settings.identity or schema.IDENTITIES[0],
            count=settings.landmarks,
        )
        store.require_landmarks(landmarks, settings.falloff or schema.FALLOFFS[0])
        store.require_mask(method)
    one, falloff = falloffs[0]
    return Choice(method=one.method, landmarks=one, falloff=falloff)
