"""`enr view`: a page on this machine on which an object turns under the mouse."""
