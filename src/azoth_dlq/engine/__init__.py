"""A drain: plan → groups → report. It knows stores by their port alone."""
