"""The main job as a story: from keys to an audited step-up, every part real."""
