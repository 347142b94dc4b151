"""Process that holds a gallery in memory and aborts, with a core dump if allowed."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from edge.config import load_config
from edge.gallery import key
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.store import open_store

if __name__ == "__main__":
    config_path, model, guarded = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "guarded"
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if not guarded:
        key.disable_memory_dumps = lambda: None
    config = load_config(config_path)
    gallery = LiveGallery(open_store(config, model, key.load_key_and_drop_privileges(config)))
    os.chdir(sys.argv[4])
    print(gallery.index.templates, flush=True)
    os.abort()
