"""The benchmark of memory consistency: courses, truth, scores, systems and reports."""
