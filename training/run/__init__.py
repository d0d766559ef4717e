"""One run of one stage: the loop, its saves, what it logs and shows, and the processes it is spread over."""
