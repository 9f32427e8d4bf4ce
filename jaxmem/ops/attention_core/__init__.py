"""What attention ops share: masks, blocks, scores, caches, dispatch."""
