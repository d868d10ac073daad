"""What MkDocs needs beyond ``mkdocs.yml`` to make the site from ``docs``."""
