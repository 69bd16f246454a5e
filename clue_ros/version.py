"""The package's version; a test holds it equal to package.xml and setup.cfg."""

VERSION = "0.1.0"
