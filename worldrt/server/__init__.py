"""The live server: sessions on one model thread, pictures coded beside it, sockets on a loop."""
