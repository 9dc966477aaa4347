"""Results that nobody measured, for tests of what is made out of docs/results.json."""

TOY = {
    "intro": "Toy figures.",
    "tests": [{"name": "toy", "title": "A toy test", "about": "No real rows."}],
    "rows": [
        {"test": "toy", "system": name, "kind": kind, "note": f"note on {name}", "accuracy": accuracy} | more
        for name, kind, accuracy, more in (
            ("v6", "measured", [79.2, 76.9, 81.4], {"hard": 61.5, "easy": 86.0, "auc": 0.861}),
            ("v5-optimized", "measured", [75.0, 72.5, 77.4], {"hard": 49.9, "easy": 84.0, "auc": 0.8}),
            ("v5-optimized, templated rows", "measured", [54.1, 51.0, 57.2], {"hard": 48.0, "easy": 56.0, "auc": 0.53}),
            ("v4-chunked", "measured", [50.6, 47.8, 53.5], {"hard": 50.2, "easy": 51.0, "auc": 0.51}),
            ("v4-chunked, published", "published", [51.4, None, None], {}),
            ("gemma-3-1b, a student peer", "published", [74.8, None, None], {}),
            ("v2-merged, published (leaks)", "published", [69.0, None, None], {}),
            ("Keyword rule", "baseline", [72.2, 69.6, 74.8], {"hard": 0.0, "easy": 100.0, "auc": 0.74}),
            ("TF-IDF + logistic regression", "baseline", [69.3, 66.6, 71.9], {"hard": 51.2, "easy": 76.0, "auc": 0.75}),
            ("Same base, untrained", "baseline", [61.5, 58.9, 64.2], {"hard": 45.0, "easy": 68.0, "auc": 0.66}),
            ("Always TRUE", "baseline", [54.1, 51.3, 56.9], {"hard": 20.0, "easy": 66.0, "auc": None}),
        )
    ],
    "runs": [
        {
            "system": "v6",
            "rows": 6381,
            "steps": 800,
            "seconds": 258.0,
            "device": "toy GPU, bf16",
            "peak_gib": 3.25,
            "command": "medverdict train v6 --data data/ours --out runs/v6",
        },
        {
            "system": "v6 on a slower one",
            "rows": 6381,
            "steps": None,
            "seconds": 1800.0,
            "device": "toy GPU, fp16",
            "peak_gib": None,
            "command": None,
            "kind": "predicted",
        },
    ],
    "sections": [{"title": "What it says", "text": "Nothing: these are toys."}],
    "chart": "toy",
    "chart_label": "a toy test of 1,000 claims",
}
