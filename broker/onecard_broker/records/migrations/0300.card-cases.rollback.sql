DROP INDEX cardholders_followers;
DROP INDEX cards_elsewhere;
DROP TABLE card_cases;
