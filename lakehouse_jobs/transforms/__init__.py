"""Pure `DataFrame -> DataFrame` functions; nothing here reads or writes."""
