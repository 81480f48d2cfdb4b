"""Models that read text of finance lines: training, evaluation, registry, serving."""
