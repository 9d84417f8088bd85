"""Every fault at every stage, and at random: what must hold afterwards, whatever happened."""
