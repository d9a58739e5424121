"""From lists and videos to clips: lists, sampling, readers, transforms, loaders."""
