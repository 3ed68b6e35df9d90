"""The wire between server and clients: `worldrt.v1`, parsed and written where no socket is."""
