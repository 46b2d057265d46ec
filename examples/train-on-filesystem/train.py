# SPDX-License-Identifier: MIT
"""A function that trains: it writes the model where another function reads it, and deploys nothing.

    event   {"rows": [[1.0, 2.0], ...], "labels": [3.0, ...], "rounds": 20, "depth": 3}
    answer  {"path": "/mnt/models/price/model.json", "bytes": n, "sha256": "...", "rounds": 20, "error": x}

$MODEL_FILE says where. The new model is written beside it, synced and renamed into its place: whoever looks sees the old one or
the new one, whole.
"""
import hashlib
import os

from xgboost_c import Booster


def publish(booster, path):
    """Saves as `path` in one step, whatever happens meanwhile."""
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    # The library chooses the format by the ending.
    temporary = os.path.join(folder, f".part-{os.getpid()}-{name}")
    try:
        booster.save(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
            data = file.read()
        os.rename(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return data


def handler(event, context):
    rows, labels = event["rows"], event["labels"]
    rounds = int(event.get("rounds", 20))
    path = os.environ["MODEL_FILE"]
    booster = Booster({"objective": "reg:squarederror", "max_depth": event.get("depth", 3), "eta": 0.3, "nthread": 1})
    booster.train(rows, labels, rounds)
    guesses = booster.predict(rows)
    error = (sum((guess - label) ** 2 for guess, label in zip(guesses, labels)) / len(labels)) ** 0.5
    data = publish(booster, path)
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "rounds": rounds, "error": error}
