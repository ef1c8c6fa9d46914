DROP TABLE card_replacement_steps, card_replacements, cards, cardholders, card_code_systems;
