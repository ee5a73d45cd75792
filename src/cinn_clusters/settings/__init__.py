"""What a TOML file may say; its sections are the options that are passed down."""
