"""RECIPE + SPLITS -> RUN. Called as a function, the room is `medverdict.app.api.train`."""

from medverdict import also_a_function

also_a_function(__name__)
