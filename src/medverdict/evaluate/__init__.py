"""PREDICTIONS -> NUMBERS. Called as a function, the room is `medverdict.app.api.evaluate`."""

from medverdict import also_a_function

also_a_function(__name__)
