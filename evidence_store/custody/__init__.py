"""Who holds an item, and how it passes from hand to hand: rules over acts, and nothing else."""
