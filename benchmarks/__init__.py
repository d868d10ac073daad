"""Train techniques under a frozen protocol, record each run, and render the records."""
