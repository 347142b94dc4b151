"""From photos and camera frames to templates of people, or the reason why not."""
