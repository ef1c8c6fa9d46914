"""What operators ask of a hub: the story of a message, and whether everything is accounted for. Reads only."""
