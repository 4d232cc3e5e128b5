"""What the project is made of: bills of material, and whether its parts are pinned and free of vulnerabilities."""
