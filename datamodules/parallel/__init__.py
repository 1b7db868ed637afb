"""Work spread over processes that know only this room."""
