"""What is measured of an embedder: one module an exam, each on any engine, none with torch.

`pairs` verifies pairs of pictures, `people` compares all with all and searches galleries, `real_masks` looks at masks
that nobody drew, `places` holds the maps against the pixel truth, `trust` asks what the maps explain.
"""
