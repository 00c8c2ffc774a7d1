"""Files of meshes: formats, archives, licences, triangles."""
