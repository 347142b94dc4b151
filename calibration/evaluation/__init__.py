"""Evaluation protocols for embedders: one module each, for any engine, without torch.

`pairs` verifies pairs of pictures, `people` compares all people and searches galleries,
`real_masks` uses photos with real masks, `attention_localization` compares the maps with the drawn
coverage, `faithfulness` measures what the maps explain. `results` runs them, `report` shows them.
"""
