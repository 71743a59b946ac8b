"""Tools for people at a keyboard. Installed as `rawfuse_tools`; modules in here import each other relatively."""
