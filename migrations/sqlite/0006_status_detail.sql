-- The question that a task waits with, the command that it asks for, or the text of its error. A change of the status or of
-- its reason removes the detail, unless the same statement gives one. The length of a text ends at a NUL, so its bytes have
-- a bound too: each entry of the overview has a detail.
alter table tasks add column status_detail text
    constraint status_detail_is_at_most_500_characters
        check (length(status_detail) <= 500 and length(cast(status_detail as blob)) <= 2000);
